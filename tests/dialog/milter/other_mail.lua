-- Mail that stays here, was refused, or comes with nonsense passes unchanged.
cases = {
  {"local", "local.example.org", "you@local.example.org"},
  {"virtual", "ill.example.org", "you@local.example.org"},
  {"error", "5.7.1", "you@rejected.example.org"},
  {"lmtp", "ill.example.org", "you@local.example.org"},
  {"smtp", "", "you@local.example.org"},
  {"smtp", "]]][[[::::", "you@local.example.org"},
  {"smtp", string.rep("a", 400) .. ".example.org", "you@local.example.org"},
  {"smtp", "example\255\254.org\27[31m", "you@local.example.org"},
  {"smtp", "ill.example.org", "\1\2\3@\255"},
}
for _, case in ipairs(cases) do
  conn = mt.connect(socket)
  if conn == nil then error("no connection") end
  if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
  mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", case[3], "{rcpt_host}", case[2], "{rcpt_mailer}", case[1])
  mt.rcptto(conn, "<" .. case[3] .. ">")
  mt.header(conn, "Subject", "hello")
  mt.eoh(conn)
  if mt.getreply(conn) ~= SMFIR_ACCEPT then error("not accepted as it is: " .. case[1]) end
  mt.disconnect(conn)
end

-- No macros at all (non_smtpd_milters), and connections that end in the middle.
conn = mt.connect(socket)
mt.negotiate(conn, 6, nil, nil)
mt.rcptto(conn, "you@local.example.org")
mt.header(conn, "X-Postfathom-Diagnosis", "forged")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("not let through without macros") end
if not mt.eom_check(conn, MT_HDRDELETE, "X-Postfathom-Diagnosis") then error("a forged copy was left") end
mt.disconnect(conn)
conn = mt.connect(socket)
mt.negotiate(conn, 6, nil, nil)
mt.rcptto(conn, "<you@local.example.org>")
mt.header(conn, "X-Postfathom-Diagnosis", "forged")
mt.disconnect(conn, false)
