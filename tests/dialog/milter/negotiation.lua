-- Asks Postfix for what is needed and nothing more.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
for _, option in ipairs({SMFIP_NOCONNECT, SMFIP_NOHELO, SMFIP_NOMAIL, SMFIP_NOBODY,
                         SMFIP_NODATA, SMFIP_NOUNKNOWN, SMFIP_NR_RCPT, SMFIP_NR_HDR}) do
  if not mt.test_option(conn, option) then error("not asked for: option " .. option) end
end
for _, option in ipairs({SMFIP_NORCPT, SMFIP_NOHDRS, SMFIP_NOEOH, SMFIP_NR_EOH, SMFIP_RCPT_REJ, SMFIP_HDR_LEADSPC}) do
  if mt.test_option(conn, option) then error("asked for: option " .. option) end
end
for _, action in ipairs({SMFIF_ADDHDRS, SMFIF_CHGHDRS}) do
  if not mt.test_action(conn, action) then error("not asked for: action " .. action) end
end
for _, action in ipairs({SMFIF_CHGBODY, SMFIF_ADDRCPT, SMFIF_DELRCPT, SMFIF_QUARANTINE, SMFIF_CHGFROM}) do
  if mt.test_action(conn, action) then error("asked for: action " .. action) end
end
mt.disconnect(conn)

-- A server that cannot do without connection events and replies is served as well. 17 stands for two
-- things: the actions ADDHDRS and CHGHDRS, and the options NOCONNECT and NOBODY; in this order or, as some
-- versions of miltertest send them, the other way around.
conn = mt.connect(socket)
if mt.negotiate(conn, 6, 17, 17) ~= nil then error("negotiation failed") end
mt.helo(conn, "client.example.net")
mt.mailfrom(conn, "<me@example.net>")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("MAIL FROM was not let through") end
mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "you@unknown.example.org", "{rcpt_host}", "unknown.example.org",
         "{rcpt_mailer}", "smtp")
mt.rcptto(conn, "<you@unknown.example.org>")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("RCPT TO was not let through") end
mt.header(conn, "X-Postfathom-Diagnosis", "forged.example.com; diagnosis=healthy")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("a header was not let through") end
mt.eoh(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("a message with a forged copy was not looked at to its end") end
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
if not mt.eom_check(conn, MT_HDRDELETE, "X-Postfathom-Diagnosis") then error("a forged copy was left") end
mt.disconnect(conn)
