-- A session that was there before SIGHUP goes on as it was agreed; the next one has the new settings.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
function message(connection)
  mt.macro(connection, SMFIC_RCPT, "{rcpt_addr}", "you@example.org", "{rcpt_host}", "ill.example.org",
           "{rcpt_mailer}", "smtp")
  mt.rcptto(connection, "<you@example.org>")
  if mt.getreply(connection) ~= SMFIR_CONTINUE then return "refused" end
  mt.eom(connection)
  if mt.getreply(connection) ~= SMFIR_CONTINUE then return "not let through" end
  return mt.getheader(connection, "X-Postfathom-Diagnosis", 0)
end
if message(conn) == nil then error("not tagged before") end
mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "you@example.org", "{rcpt_host}", "ill.example.org", "{rcpt_mailer}", "smtp")
mt.rcptto(conn, "<you@example.org>")
if not os.execute(reload) then error("SIGHUP was not obeyed") end
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message under way was not let through") end
if mt.getheader(conn, "X-Postfathom-Diagnosis", 0) == nil then error("the message under way was not tagged") end
if message(conn) == nil then error("the session that was there lost its settings") end
later = mt.connect(socket)
if mt.negotiate(later, 6, nil, nil) ~= nil then error("negotiation failed") end
if mt.test_action(later, SMFIF_ADDHDRS) then error("the next session has the old settings") end
mt.disconnect(later)
mt.disconnect(conn)
