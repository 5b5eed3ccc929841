#!lua flags=allow-oom
-- Turns records of one tag whose lease ran out into doubts; their owners' tokens stay good.
-- It names keys that were not given to it: they share the tag of the one that was.
-- KEYS[1] open records of the tag
-- ARGV[1] at most how many records
-- Returns {id, route, id, route, …}
local open = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local prefix = string.sub(open, 1, -5)
local swept = {}
-- Doubts whose record is gone by now.
redis.call('ZREMRANGEBYSCORE', open, 1e15, 1e15 + now)
for _, member in ipairs(redis.call('ZRANGE', open, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local id = string.sub(member, -64)
  local key = prefix .. id
  local version, state, ends, route = unpack(redis.call('HMGET', key, 'v', 'state', 'ends', 'route'))
  if version and version ~= '1' then
    -- Not ours to touch: looked at again later, behind the others.
    redis.call('ZADD', open, now + 60000, member)
  elseif state == 'in_flight' and ends - now > 0 then
    redis.call('ZADD', open, ends, member)
  elseif state == 'in_flight' or state == 'in_doubt' then
    if state == 'in_flight' then
      redis.call('HSET', key, 'state', 'in_doubt', 'cause', 'lease_expired', 'changed', ends)
      redis.call('HDEL', key, 'landing')
      swept[#swept + 1] = id
      swept[#swept + 1] = route
    end
    redis.call('ZADD', open, now + redis.call('PTTL', key) + 1e15, member)
  else
    redis.call('ZREM', open, member)
  end
end
return swept
