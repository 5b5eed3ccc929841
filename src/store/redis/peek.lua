-- Reads one record as an operator sees it.
-- KEYS[1] record
-- ARGV[1] with its response, 0 or 1
-- Returns {state, route, namespace, key hash, fingerprint, attempts, status or '', cause or '', created, changed,
-- expires, response or ''}, instants in ms since the epoch by this server's clock; {} when there is no such record.
-- Fails with FORMAT and the version of a record of an unknown one.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version, state, ends = unpack(redis.call('HMGET', key, 'v', 'state', 'ends'))
if version and version ~= '1' then return redis.error_reply('FORMAT ' .. version) end
if not state or state == 'free' then return {} end

local view = redis.call('HMGET', key, 'state', 'route', 'namespace', 'keyHash', 'fp', 'attempts', 'status', 'cause',
  'created', 'changed')
for index = 1, 10 do view[index] = view[index] or '' end
if state == 'in_flight' and ends - now <= 0 then
  view[1], view[8], view[10] = 'in_doubt', 'lease_expired', ends
end
view[11] = redis.call('PEXPIRETIME', key)
view[12] = ARGV[1] == '1' and state == 'completed' and redis.call('HGET', key, 'response') or ''
return view
