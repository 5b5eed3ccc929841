#!lua flags=allow-oom
-- Stores how a request was answered, for its owner or where no record is left; a repetition changes nothing.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] 'completed' or 'not_replayable'  ARGV[3] status  ARGV[4] response  ARGV[5] retention, ms
-- ARGV[6] fingerprint  ARGV[7] route  ARGV[8] namespace  ARGV[9] key hash, all four for a record that is gone
-- Returns 'stored' or 'lost'. Fails with FORMAT and the version where the record is of an unknown one.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, state, owner, created = unpack(redis.call('HMGET', key, 'v', 'state', 'token', 'created'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if not state then
  redis.call('HSET', key, 'v', 1, 'fp', ARGV[6], 'token', ARGV[1], 'attempts', 1, 'created', now, 'route', ARGV[7],
    'namespace', ARGV[8], 'keyHash', ARGV[9])
elseif owner ~= ARGV[1] or state == 'free' then
  return 'lost'
elseif state == 'completed' or state == 'not_replayable' then
  return 'stored'
else
  redis.call('HDEL', key, 'cause', 'landing', 'formerToken', 'doubt')
  redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
end
redis.call('HSET', key, 'state', ARGV[2], 'status', ARGV[3], 'response', ARGV[4], 'changed', now)
redis.call('PEXPIRE', key, ARGV[5])
redis.pcall('PUBLISH', key, ARGV[2])
return 'stored'
