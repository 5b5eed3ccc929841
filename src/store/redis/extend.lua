#!lua flags=allow-oom
-- Prolongs a lease that is not over yet; one that is over is never taken back.
-- KEYS[1] record  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] lease from now, ms  ARGV[3] retention after the lease, ms
-- Returns 'kept' or 'lost'
local key, open = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, owner, ends, created = unpack(redis.call('HMGET', key, 'state', 'token', 'ends', 'created'))
if state ~= 'in_flight' or owner ~= ARGV[1] or ends - now <= 0 then return 'lost' end

local keep = ARGV[2] + ARGV[3]
redis.call('HSET', key, 'ends', now + ARGV[2])
redis.call('PEXPIRE', key, keep)
redis.call('ZADD', open, now + keep, created .. ':' .. string.sub(key, -64))
if redis.call('PTTL', open) < keep then redis.call('PEXPIRE', open, keep + 60000) end
return 'kept'
