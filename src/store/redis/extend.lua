#!lua flags=allow-oom
-- Prolongs a lease that is not over yet; one that is over is never taken back.
-- KEYS[1] record  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] lease from now, ms  ARGV[3] how long it is held after the lease while open, ms
-- Returns 'kept' or 'lost'. Fails with FORMAT and the version where the record is of an unknown one.
local key, open = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, state, owner, ends, created = unpack(redis.call('HMGET', key, 'v', 'state', 'token', 'ends', 'created'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if state ~= 'in_flight' or owner ~= ARGV[1] or ends - now <= 0 then return 'lost' end

local keep = math.max(ARGV[2] + ARGV[3], redis.call('PTTL', key))
redis.call('HSET', key, 'ends', now + ARGV[2])
redis.call('PEXPIRE', key, keep)
redis.call('ZADD', open, now + ARGV[2], created .. ':' .. string.sub(key, -64))
if redis.call('PTTL', open) < keep then redis.call('PEXPIRE', open, keep + 60000) end
return 'kept'
