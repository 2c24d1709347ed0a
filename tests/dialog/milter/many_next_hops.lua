-- Four headers at most, one for each ill next hop.
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.negotiate(conn, 6, nil, nil) ~= nil then error("negotiation failed") end
for _, host in ipairs({"[mx1.example.net]:25", "[MX1.example.net]", "[mx2.example.net]:2525",
                       "[mx3.example.net] [mx4.example.net]", "[mx5.example.net]"}) do
  mt.macro(conn, SMFIC_RCPT, "{rcpt_addr}", "you@example.com", "{rcpt_host}", host, "{rcpt_mailer}", "relay")
  mt.rcptto(conn, "<you@example.com>")
end
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("the message was not let through") end
seen = ""
count = 0
while mt.getheader(conn, "X-Postfathom-Diagnosis", count) ~= nil do
  seen = seen .. mt.getheader(conn, "X-Postfathom-Diagnosis", count)
  count = count + 1
end
if count ~= 4 then error("expected 4 headers, found " .. count) end
for _, host in ipairs({"[mx1.example.net]", "[mx2.example.net]:2525", "[mx3.example.net]", "[mx4.example.net]"}) do
  if string.find(seen, "next-hop=" .. host .. ";", 1, true) == nil then error("no header for " .. host) end
end
mt.disconnect(conn)
