#!lua flags=allow-oom
-- Leaves a record in doubt: nobody can know whether its request was carried out.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] cause  ARGV[3] landing, or ''  ARGV[4] retention, ms
-- Returns 'stranded' or 'lost'
local key, open = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, owner, created = unpack(redis.call('HMGET', key, 'state', 'token', 'created'))
if owner ~= ARGV[1] or (state ~= 'in_flight' and state ~= 'in_doubt') then return 'lost' end

redis.call('HSET', key, 'state', 'in_doubt', 'cause', ARGV[2], 'changed', now)
if ARGV[3] == '' then redis.call('HDEL', key, 'landing') else redis.call('HSET', key, 'landing', ARGV[3]) end
redis.call('PEXPIRE', key, ARGV[4])
redis.call('ZADD', open, now + ARGV[4], created .. ':' .. string.sub(key, -64))
if redis.call('PTTL', open) < tonumber(ARGV[4]) then redis.call('PEXPIRE', open, ARGV[4] + 60000) end
redis.pcall('PUBLISH', key, 'in_doubt')
return 'stranded'
