#!lua flags=allow-oom
-- Ends a doubt by an operator's word; the former owner's token is void from then on.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] 'completed' or 'free'  ARGV[2] status  ARGV[3] response  ARGV[4] retention, ms, all three only when completed
-- Returns 'resolved', 'absent' or 'notInDoubt'
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, ends, created = unpack(redis.call('HMGET', key, 'state', 'ends', 'created'))
if not state or state == 'free' then return 'absent' end
local isOver = state == 'in_flight' and ends - now <= 0
if state ~= 'in_doubt' and not isOver then return 'notInDoubt' end

redis.call('HSET', key, 'state', ARGV[1], 'token', '')
redis.call('HDEL', key, 'cause', 'landing', 'formerToken', 'doubt')
if ARGV[1] == 'completed' then
  redis.call('HSET', key, 'status', ARGV[2], 'response', ARGV[3], 'changed', now)
  redis.call('PEXPIRE', key, ARGV[4])
end
redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
redis.pcall('PUBLISH', key, ARGV[1])
return 'resolved'
