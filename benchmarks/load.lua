-- What wrk sends, told by arguments, and what it says at the end: one line of JSON.
--   wrk ... -s load.lua URL -- method=POST body=... header=Accept:*/* depth=16
-- {id} and {age} in path or body stand for numbers drawn anew, {new} in a path for one that was never sent before.
-- `depth` requests leave in one write.
local depth, people = 1, 1000

local function drawn(text)
  return text and text:gsub("{id}", math.random(people)):gsub("{age}", math.random(100))
end

local function replayed(requests)
  local next = 0
  return function()
    next = next % #requests + 1
    return requests[next]
  end
end

local function unheard(text)
  local before, behind = text:match("^(.-){new}(.*)$")
  local number = os.time() % 100000 * 1000000 -- no run of the last day has come this far
  return function()
    number = number + 1
    return before .. number .. behind
  end
end

function init(args)
  math.randomseed(1)
  for i = 1, #args do
    local key, value = args[i]:match("^(%l+)=(.*)$")
    if key == "header" then
      local name, content = value:match("^([^:]+):%s*(.*)$")
      wrk.headers[name] = content
    elseif key == "depth" then
      depth = tonumber(value)
    else
      wrk[key] = value
    end
  end
  if depth > 1 then
    request = replayed({ wrk.format():rep(depth) })
  elseif wrk.path:find("{new}", 1, true) then
    request = unheard(wrk.format())
  elseif wrk.path:find("{", 1, true) then
    local requests, path, body = {}, wrk.path, wrk.body
    for i = 1, 500 do
      requests[i] = wrk.format(nil, drawn(path), nil, drawn(body))
    end
    request = replayed(requests)
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  local counted = { summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout, e.status }
  local percentiles = {}
  for _, p in ipairs({ 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99 }) do
    percentiles[#percentiles + 1] = string.format('"%g": %d', p, latency:percentile(p))
  end
  print(string.format(
    '{"requests": %d, "microseconds": %d, "broken": %d, "refused": %d, "latency_us": {%s}}',
    counted[1], counted[2], counted[3], counted[4], table.concat(percentiles, ", ")
  ))
end
