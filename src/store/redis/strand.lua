#!lua flags=allow-oom
-- Leaves a record in doubt, for its owner or where no record is left: it is unknown whether its request was carried out.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] cause  ARGV[3] landing, or ''  ARGV[4] how long it is held, ms
-- ARGV[5] fingerprint  ARGV[6] route  ARGV[7] namespace  ARGV[8] key hash, all four for a record that is gone
-- Returns 'stranded' or 'lost'. Fails with FORMAT and the version where the record is of an unknown one.
local key, open = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, state, owner, created = unpack(redis.call('HMGET', key, 'v', 'state', 'token', 'created'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if not state then
  created = now
  redis.call('HSET', key, 'v', 1, 'fp', ARGV[5], 'token', ARGV[1], 'attempts', 1, 'created', now, 'ends', now, 'route',
    ARGV[6], 'namespace', ARGV[7], 'keyHash', ARGV[8])
elseif owner ~= ARGV[1] or (state ~= 'in_flight' and state ~= 'in_doubt') then
  return 'lost'
end

redis.call('HSET', key, 'state', 'in_doubt', 'cause', ARGV[2], 'changed', now)
if ARGV[3] == '' then redis.call('HDEL', key, 'landing') else redis.call('HSET', key, 'landing', ARGV[3]) end
redis.call('PEXPIRE', key, ARGV[4])
redis.call('ZADD', open, now + ARGV[4] + 1e15, created .. ':' .. string.sub(key, -64))
if redis.call('PTTL', open) < tonumber(ARGV[4]) then redis.call('PEXPIRE', open, ARGV[4] + 60000) end
redis.pcall('PUBLISH', key, 'in_doubt')
return 'stranded'
