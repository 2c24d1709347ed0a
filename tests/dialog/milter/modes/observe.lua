-- Where messages stay as they are, Postfix is asked for no headers and for no leave to change any; at DATA
-- the milter is done with the message, and with the next one on the connection as well.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
for _, option in ipairs({SMFIP_NOCONNECT, SMFIP_NOHELO, SMFIP_NOMAIL, SMFIP_NOBODY, SMFIP_NOEOH, SMFIP_NOHDRS,
                         SMFIP_NOUNKNOWN, SMFIP_NR_RCPT}) do
  if not mt.test_option(conn, option) then error("not asked for: option " .. option) end
end
for _, option in ipairs({SMFIP_NORCPT, SMFIP_NODATA}) do
  if mt.test_option(conn, option) then error("asked for: option " .. option) end
end
for _, action in ipairs({SMFIF_ADDHDRS, SMFIF_CHGHDRS, SMFIF_CHGBODY}) do
  if mt.test_action(conn, action) then error("asked for: action " .. action) end
end
for message = 1, 2 do
  mt.macro(conn, SMFIC_RCPT, "i", "4ABC" .. message, "{rcpt_addr}", "you@example.org", "{rcpt_host}", "ill.example.org",
           "{rcpt_mailer}", "smtp")
  mt.rcptto(conn, "<you@example.org>")
  mt.data(conn)
  if mt.getreply(conn) ~= SMFIR_ACCEPT then error("not done at DATA") end
end
mt.disconnect(conn)
