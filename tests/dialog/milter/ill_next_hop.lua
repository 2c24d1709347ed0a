-- A message to an ill next hop loses every forged header and gets one of ours, on top.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
mt.macro(conn, SMFIC_RCPT, "i", "4ABC", "{rcpt_addr}", "you@example.org", "{rcpt_host}", "ILL.example.org",
         "{rcpt_mailer}", "smtp")
mt.rcptto(conn, "<you@example.org>")
mt.header(conn, "Subject", "hello")
mt.header(conn, "X-Postfathom-Diagnosis", "relay.example.net; diagnosis=healthy")
mt.header(conn, "x-postfathom-DIAGNOSIS", "forged.example.com; diagnosis=healthy")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
if not mt.eom_check(conn, MT_HDRDELETE, "X-Postfathom-Diagnosis") then error("forged copies were left") end
if not mt.eom_check(conn, MT_HDRINSERT, "X-Postfathom-Diagnosis") then error("no header was added") end
if mt.eom_check(conn, MT_HDRDELETE, "Subject") then error("another header was removed") end
value = mt.getheader(conn, "X-Postfathom-Diagnosis", 0)
for _, part in ipairs({"relay.example.net; ", "next-hop=ill.example.org;", "diagnosis=pmtu-black-hole;",
                       "direction=inbound;", "path-mtu=1400;", "mss=1360;", "since=20"}) do
  if value == nil or string.find(value, part, 1, true) == nil then
    error("expected " .. part .. " in " .. tostring(value))
  end
end
if mt.getheader(conn, "X-Postfathom-Diagnosis", 1) ~= nil then error("more than one header was added") end

mt.disconnect(conn)
