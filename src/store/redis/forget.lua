#!lua flags=allow-oom
-- Makes a key free and its owner's token void; what is in flight is refused.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- Returns 'forgotten', 'absent' or 'inFlight'
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, ends, created = unpack(redis.call('HMGET', key, 'state', 'ends', 'created'))
if not state or state == 'free' then return 'absent' end
if state == 'in_flight' and ends - now > 0 then return 'inFlight' end

-- What is left lives as long as the record would have: it tells a late owner that its record is lost.
redis.call('HSET', key, 'state', 'free', 'token', '')
redis.call('HDEL', key, 'cause', 'landing', 'formerToken', 'doubt', 'status', 'response')
redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
redis.pcall('PUBLISH', key, 'free')
return 'forgotten'
