-- Claims a record, or reports what stands in the way; refused when it comes at another time than its caller thinks.
-- KEYS[1] record  KEYS[2] open records of its tag
-- ARGV[1] token  ARGV[2] fingerprint  ARGV[3] lease, ms  ARGV[4] how long it is held after the lease while open, ms
-- ARGV[5] may take what is in doubt, 0 or 1  ARGV[6] flight waited for, or ''  ARGV[7] route  ARGV[8] namespace
-- ARGV[9] key hash  ARGV[10] asked when by this server's clock, ms  ARGV[11] how long the caller waits, ms
-- Returns, now in ms by this server's clock, expired 1 when this very claim found the lease run out, else 0:
--   {'won', now, attempts, and if a doubt was taken over: its cause, expired}  {'inDoubt', now, fingerprint, cause, expired}
--   {'held', now, fingerprint, flight, ms left}  {'done', now, fingerprint, ms since stored, response, ms left}
--   {'notReplayable', now, fingerprint, status}  {'landed', now, fingerprint, landing}
--   {'late', now}, nothing was done. Fails with FORMAT and the version of a record of an unknown one.
local key, open, token, mine = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if math.abs(now - ARGV[10]) > tonumber(ARGV[11]) then return {'late', now} end
local version, state, fp, owner, ends, attempts, created, cause, doubt = unpack(redis.call('HMGET', key, 'v',
  'state', 'fp', 'token', 'ends', 'attempts', 'created', 'cause', 'doubt'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
local function hold(born, ...)
  local keep, ended = ARGV[3] + ARGV[4], now + ARGV[3]
  redis.call('HSET', key, 'ends', ended, ...)
  if state == 'in_flight' or state == 'in_doubt' then keep = math.max(keep, redis.call('PTTL', key)) end -- never shorter
  redis.call('PEXPIRE', key, keep)
  redis.call('ZADD', open, ended, born .. ':' .. string.sub(key, -64))
  if redis.call('PTTL', open) < keep then redis.call('PEXPIRE', open, keep + 60000) end
end
local function take(born, ...)
  attempts = (attempts or 0) + 1
  hold(born, 'v', 1, 'state', 'in_flight', 'fp', mine, 'token', token, 'attempts', attempts, 'created', born,
    'changed', now, 'route', ARGV[7], 'namespace', ARGV[8], 'keyHash', ARGV[9], ...)
  return attempts
end
if (state == 'free' or state == 'in_doubt') and ARGV[6] == string.sub(owner, 1, 16) then
  local landing = redis.call('HGET', key, 'landing')
  if landing then return {'landed', now, fp, landing} end
end
if not state or state == 'free' then return {'won', now, take(now)} end
if state == 'completed' or state == 'not_replayable' then
  local changed, status, response = unpack(redis.call('HMGET', key, 'changed', 'status', 'response'))
  if state == 'not_replayable' then return {'notReplayable', now, fp, status} end
  return {'done', now, fp, now - changed, response, redis.call('PTTL', key)}
end
if state == 'in_flight' and ends - now > 0 then
  if owner ~= token or fp ~= mine then return {'held', now, fp, string.sub(owner, 1, 16), ends - now} end
  hold(created)
  return {'won', now, attempts, doubt or nil, 0} -- what follows a nil is not sent
end
local expired = state == 'in_flight' and 1 or 0
if expired == 1 then cause = 'lease_expired' end
if ARGV[5] == '1' and fp == mine then
  -- A withdrawal puts the former token back, void where its flight had taken a doubt over: its own would end that.
  take(created, 'formerToken', doubt and string.rep('0', 32) or owner, 'doubt', cause)
  redis.call('HDEL', key, 'cause', unpack(expired == 1 and {'landing'} or {}))
  return {'won', now, attempts, cause, expired}
end
if expired == 1 then
  local written = redis.pcall('HSET', key, 'state', 'in_doubt', 'cause', cause, 'changed', ends)
  if type(written) == 'table' then return {'inDoubt', now, fp, cause, 0} end -- full memory: the next sweep writes it
  redis.call('HDEL', key, 'landing')
end
return {'inDoubt', now, fp, cause, expired}
