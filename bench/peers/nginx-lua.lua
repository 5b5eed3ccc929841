-- One request of the expert's gateway: two round trips to Redis for the first time, one for a replay.
--
-- A record is one string: "P" .. fingerprint .. token while the upstream works, "D" .. fingerprint .. answer afterwards.
-- What is not here, for brevity: waking those who wait, renewing the lease, outcomes that are unknown, metrics.
local redis = require("nginx.redis")
local M = {}
local shas = {}

local lease_ms = 15000
local retention_seconds = 86400
local fingerprint_bytes = 20

-- Only the owner's token may write: somebody may have taken over a lease that ran out.
local complete = [[
local now = redis.call("GET", KEYS[1])
if now and now ~= ARGV[1] then return 0 end
redis.call("SET", KEYS[1], ARGV[2], "EX", ARGV[3])
return 1]]
local release = [[
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0]]

local hop_by_hop = {
  ["connection"] = true, ["keep-alive"] = true, ["transfer-encoding"] = true, ["te"] = true,
  ["trailer"] = true, ["upgrade"] = true, ["proxy-authenticate"] = true, ["content-length"] = true,
}

local function problem(status, code)
  ngx.status = status
  ngx.header["Content-Type"] = "application/problem+json"
  if status == 409 or status == 503 then ngx.header["Retry-After"] = 1 end
  ngx.print('{"code":"', code, '","status":', status, '}')
end

-- Its SHA is asked for once; a Redis that was restarted is given the script again.
local function run(client, script, ...)
  local sha = shas[script]
  if not sha then
    sha = client:script("LOAD", script)
    shas[script] = sha
  end
  local answer, err = client:evalsha(sha, 1, ...)
  if err and err:find("NOSCRIPT", 1, true) then answer, err = client:eval(script, 1, ...) end
  return answer, err
end

local function pack(answer)
  local lines = { answer.status }
  for name, value in pairs(answer.header) do
    if not hop_by_hop[name:lower()] then
      if type(value) == "table" then
        for _, one in ipairs(value) do lines[#lines + 1] = name .. ": " .. one end
      else
        lines[#lines + 1] = name .. ": " .. value
      end
    end
  end
  return table.concat(lines, "\n") .. "\n\n" .. answer.body
end

-- `from`: where the packed answer begins in `text`.
local function send(text, from, is_replay)
  local head_end = text:find("\n\n", from, true)
  local line_end = text:find("\n", from, true)
  ngx.status = tonumber(text:sub(from, line_end - 1))
  local at = line_end + 1
  while at < head_end do
    local till = text:find("\n", at, true)
    local colon = text:find(": ", at, true)
    local name, value = text:sub(at, colon - 1), text:sub(colon + 2, till - 1)
    local before = name:lower() == "set-cookie" and ngx.header[name]
    if before then
      if type(before) ~= "table" then before = { before } end
      before[#before + 1] = value
      ngx.header[name] = before
    else
      ngx.header[name] = value
    end
    at = till + 1
  end
  if is_replay then ngx.header["Idempotent-Replayed"] = "true" end
  ngx.header["Content-Length"] = #text - head_end - 1
  ngx.print(text:sub(head_end + 2))
end

function M.handle()
  local headers = ngx.req.get_headers()
  local key = headers["Idempotency-Key"]
  if type(key) ~= "string" or key == "" then return problem(400, "key-missing") end
  ngx.req.read_body()
  local body = ngx.req.get_body_data() or ""
  local method = ngx.req.get_method()
  local record = "bench:" .. ngx.encode_base64(ngx.sha1_bin((headers["Authorization"] or "") .. "\n" .. key))
  local fingerprint = ngx.sha1_bin(method .. " " .. ngx.var.request_uri .. "\n" .. body)

  local client = redis:new()
  client:set_timeout(500)
  local connected = client:connect("127.0.0.1", tonumber(ngx.var.redis_port))
  if not connected then return problem(503, "store-unavailable") end

  -- Claims, and says what was there, in one command.
  local claim = "P" .. fingerprint .. ngx.var.request_id
  local seen, err = client:set(record, claim, "NX", "GET", "PX", lease_ms)
  if err then return problem(503, "store-unavailable") end
  if seen ~= ngx.null then
    client:set_keepalive(60000, 256)
    if seen:sub(2, 1 + fingerprint_bytes) ~= fingerprint then return problem(422, "key-reused") end
    if seen:byte(1) == 80 then return problem(409, "in-progress") end
    return send(seen, 2 + fingerprint_bytes, true)
  end
  -- Others may use the connection while the upstream works.
  client:set_keepalive(60000, 256)

  local answer = ngx.location.capture("/.upstream" .. ngx.var.request_uri, {
    method = ngx["HTTP_" .. method],
    body = body,
  })
  client = redis:new()
  client:set_timeout(500)
  if not client:connect("127.0.0.1", tonumber(ngx.var.redis_port)) then return problem(503, "store-unavailable") end
  if answer.status == 429 or answer.status == 503 then
    run(client, release, record, claim)
    client:set_keepalive(60000, 256)
    return send(pack(answer), 1, false)
  end
  local packed = pack(answer)
  -- 502 and 504 stay claimed until the lease ends: perhaps it was done.
  if answer.status ~= 502 and answer.status ~= 504 and not answer.truncated then
    run(client, complete, record, claim, "D" .. fingerprint .. packed, retention_seconds)
  end
  client:set_keepalive(60000, 256)
  send(packed, 1, false)
end

return M
