-- An aborted message leaves nothing behind for the next one on the connection.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "you@example.org", "{rcpt_host}", "ILL.example.org",
         "{rcpt_mailer}", "smtp")
mt.rcptto(conn, "<you@example.org>")
mt.header(conn, "X-Postfathom-Diagnosis", "forged")
mt.abort(conn)
mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "you@example.com", "{rcpt_host}", "example.com", "{rcpt_mailer}", "smtp")
mt.rcptto(conn, "<you@example.com>")
mt.header(conn, "Subject", "hello")
mt.eoh(conn)
if mt.getreply(conn) ~= SMFIR_ACCEPT then error("the second message was not accepted as it is") end
mt.disconnect(conn)
