#!lua flags=allow-oom
-- Makes a key free for the next claim, and keeps for a while how its flight landed.
-- KEYS[1] record, also the channel  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] landing, or ''  ARGV[3] how long the landing is kept, ms
-- Returns 'released' or 'lost'. Fails with FORMAT and the version of a record of an unknown one.
local key = KEYS[1]
local version, state, owner, created = unpack(redis.call('HMGET', key, 'v', 'state', 'token', 'created'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if not state then return 'released' end
if owner ~= ARGV[1] or state == 'completed' or state == 'not_replayable' then return 'lost' end
if state == 'free' then return 'released' end

redis.call('HSET', key, 'state', 'free')
redis.call('HDEL', key, 'cause', 'landing', 'formerToken', 'doubt')
if ARGV[2] ~= '' then
  redis.call('HSET', key, 'landing', ARGV[2])
  redis.call('PEXPIRE', key, ARGV[3])
end
redis.call('ZREM', KEYS[2], created .. ':' .. string.sub(key, -64))
redis.pcall('PUBLISH', key, 'free')
return 'released'
