#!lua flags=allow-oom
-- Undoes a claim for which nothing was sent: the record is gone, or in doubt again if the claim had taken it over.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] token
-- Returns 'withdrawn' or 'lost'. Fails with FORMAT and the version of a record of an unknown one.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, state, owner, created, former, doubt = unpack(redis.call('HMGET', key,
  'v', 'state', 'token', 'created', 'formerToken', 'doubt'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if not state then return 'withdrawn' end
if owner ~= ARGV[1] or state == 'completed' or state == 'not_replayable' then return 'lost' end
if state == 'free' then return 'withdrawn' end

if doubt then
  redis.call('HSET', key, 'state', 'in_doubt', 'token', former, 'cause', doubt, 'changed', now)
  redis.call('HDEL', key, 'formerToken', 'doubt')
  redis.call('ZADD', KEYS[2], now + redis.call('PTTL', key) + 1e15, created .. ':' .. string.sub(key, -64))
else
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
end
redis.pcall('PUBLISH', key, 'withdrawn')
return 'withdrawn'
