-- A message that stays as it is is accepted at the end of its headers: its body is not sent, nor is its end. The next one on
-- the connection begins anew, and an ill next hop or a forged copy is answered at the end of the message.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
function headers_of(host, name)
  mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "you@" .. host, "{rcpt_host}", host, "{rcpt_mailer}", "smtp")
  mt.rcptto(conn, "<you@" .. host .. ">")
  mt.header(conn, name, "hello")
  mt.eoh(conn)
  return mt.getreply(conn)
end
for i = 1, 3 do
  if headers_of("example.com", "Subject") ~= SMFIR_ACCEPT then error("a plain message was not accepted") end
end
if headers_of("ill.example.org", "Subject") ~= SMFIR_CONTINUE then error("accepted without the header") end
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
if not mt.eom_check(conn, MT_HDRINSERT, "X-Postfathom-Diagnosis") then error("no header was added") end
if headers_of("example.com", "Subject") ~= SMFIR_ACCEPT then error("the message before was remembered") end
if headers_of("example.com", "X-Postfathom-Diagnosis") ~= SMFIR_CONTINUE then error("accepted with a forged copy") end
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
if not mt.eom_check(conn, MT_HDRDELETE, "X-Postfathom-Diagnosis") then error("a forged copy was left") end
mt.disconnect(conn)
