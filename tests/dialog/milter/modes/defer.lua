-- Only the recipient whose next hop and diagnosis are named has to wait; the others are tagged.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
if mt.test_option(conn, SMFIP_NR_RCPT) then error("wants no reply to RCPT TO") end
function recipient(address, mailer, host)
  if mailer == nil then
    mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", address)
  else
    mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", address, "{rcpt_host}", host, "{rcpt_mailer}", mailer)
  end
  mt.rcptto(conn, "<" .. address .. ">")
  return mt.getreply(conn)
end
if recipient("a@example.org", "smtp", "ILL.example.org") ~= SMFIR_REPLYCODE then error("was not refused") end
for _, case in ipairs({{"smtp", "[mx1.example.net]"}, {"smtp", "ill.example.org, well.example.org"},
                       {"error", "5.7.1"}, {"local", "ill.example.org"}, {"smtp", "unknown.example.org"}}) do
  if recipient("b@example.com", case[1], case[2]) ~= SMFIR_CONTINUE then error("refused: " .. case[2]) end
end
mt.header(conn, "Subject", "hello")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
value = mt.getheader(conn, "X-Postfathom-Diagnosis", 0)
if value == nil then error("the others' next hop was not told") end
mt.disconnect(conn)
