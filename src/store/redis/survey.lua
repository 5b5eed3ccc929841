-- Walks one stretch of all keys, and tells which of them are records that are looked for.
-- It names keys that were not given to it: it only reads, and what SCAN finds on a node is there.
-- ARGV[1] cursor  ARGV[2] glob of the records' names  ARGV[3] about how many keys
-- ARGV[4] created not before, ms  ARGV[5] and not after, ms
-- ARGV[6] state, or ''  ARGV[7] route, or ''  ARGV[8] key hash, or ''
-- Returns {next cursor, 'created:id', 'created:id', …}
local from, to, state, route, hash = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3], 'TYPE', 'hash')
local found = {page[1]}
for _, key in ipairs(page[2]) do
  local has = redis.call('HMGET', key, 'created', 'state', 'route', 'keyHash')
  local created = tonumber(has[1])
  if created and created >= from and created <= to and has[2] ~= 'free' and (state == '' or has[2] == state) and (route == '' or has[3] == route)
    and (hash == '' or has[4] == hash) then
    found[#found + 1] = has[1] .. ':' .. string.sub(key, -64)
  end
end
return found
