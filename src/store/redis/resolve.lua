#!lua flags=allow-oom
-- Ends a doubt by an operator's word; the former owner's token is void from then on.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] the record that was seen, as 'state attempts changed', instant in ms; or ''  ARGV[2] 'completed' or 'free'
-- ARGV[3] status  ARGV[4] response  ARGV[5] retention, ms, all three only when completed
-- Returns 'resolved', 'absent', 'notInDoubt' or 'moved'. Fails with FORMAT and the version of a record of an unknown one.
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
if state ~= 'in_doubt' and not isOver then return 'notInDoubt' end

redis.call('HSET', key, 'state', ARGV[2], 'token', '')
redis.call('HDEL', key, 'cause', 'landing', 'formerToken', 'doubt')
if ARGV[2] == 'completed' then
  redis.call('HSET', key, 'status', ARGV[3], 'response', ARGV[4], 'changed', now)
  redis.call('PEXPIRE', key, ARGV[5])
end
redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
redis.pcall('PUBLISH', key, ARGV[2])
return 'resolved'
