-- Mail that Postfix took by sendmail(1): bare addresses, no next hop and no client of another host. It is
-- tagged by the route that is known, and nobody has to wait, whatever the mode.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
mt.macro(conn, SMFIC_RCPT, "i", "4DEF", "{rcpt_addr}", "you@routed.example.com", "{client_addr}", "127.0.0.1")
mt.rcptto(conn, "you@routed.example.com")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("refused") end
mt.header(conn, "Subject", "hello")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
value = mt.getheader(conn, "X-Postfathom-Diagnosis", 0)
if value == nil or string.find(value, "next-hop=ill.example.org;", 1, true) == nil then
  error("not tagged: " .. tostring(value))
end
mt.disconnect(conn)
