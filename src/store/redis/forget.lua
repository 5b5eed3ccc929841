#!lua flags=allow-oom
-- Makes a key free and its owner's token void; what is in flight, or is not the record that was seen, is refused.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] the record that was seen, as 'state attempts changed', instant in ms; or ''
-- Returns 'forgotten', 'absent', 'inFlight' or 'moved'. Fails with FORMAT and the version of a record of an unknown one.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, state, ends, created, attempts, changed = unpack(redis.call('HMGET', key, 'v', 'state', 'ends', 'created',
  'attempts', 'changed'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if not state or state == 'free' then return 'absent' end
local isOver = state == 'in_flight' and ends - now <= 0
local found = isOver and {'in_doubt', attempts, ends} or {state, attempts, changed}
if ARGV[1] ~= '' and ARGV[1] ~= table.concat(found, ' ') then return 'moved' end
if state == 'in_flight' and not isOver then return 'inFlight' end

-- What is left lives as long as the record would have: it tells a late owner that its record is lost.
redis.call('HSET', key, 'state', 'free', 'token', '')
redis.call('HDEL', key, 'cause', 'landing', 'formerToken', 'doubt', 'status', 'response')
redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
redis.pcall('PUBLISH', key, 'free')
return 'forgotten'
