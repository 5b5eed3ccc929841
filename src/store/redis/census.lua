-- Counts, by route, what is in doubt among the open records of one tag, those that are forgotten first before the others.
-- It names keys that were not given to it: they share the tag of the one that was, and are only read.
-- KEYS[1] open records of the tag
-- ARGV[1] how many records to look at
-- Returns {route, records, age of the oldest since its first claim in ms, ms until the first is forgotten, route, …}
local open = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local prefix = string.sub(open, 1, -5)
local records, oldest, soonest = {}, {}, {}
local function count(from, to)
  for _, member in ipairs(redis.call('ZRANGE', open, from, to, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
    local created, id = string.match(member, '^(%d+):(%x+)$')
    local state, ends, route = unpack(redis.call('HMGET', prefix .. id, 'state', 'ends', 'route'))
    if state == 'in_doubt' or (state == 'in_flight' and ends - now <= 0) then
      local left = redis.call('PTTL', prefix .. id)
      records[route] = (records[route] or 0) + 1
      oldest[route] = math.min(oldest[route] or now, tonumber(created))
      soonest[route] = math.min(soonest[route] or left, left)
    end
  end
end
count('(' .. string.format('%.0f', 1e15 + now), '+inf')
count('-inf', now)
local counts = {}
for route, number in pairs(records) do
  counts[#counts + 1] = route
  counts[#counts + 1] = number
  counts[#counts + 1] = math.max(0, now - oldest[route])
  counts[#counts + 1] = math.max(0, soonest[route])
end
return counts
