-- wrk -s ask.lua URL -- TOKENS BODY PAUSE_MS: POSTs the bytes of the file BODY with the bearer tokens of the file TOKENS in turn.
-- PAUSE_MS: how long a connection rests between two requests, on average; 0: not at all. Prints a line of JSON.
local requests, next_one = {}, 0

local function read(name)
   local file = assert(io.open(name, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

function init(arguments)
   local body, pause = read(arguments[2]), tonumber(arguments[3])
   for token in read(arguments[1]):gmatch("[^\n]+") do
      local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
      requests[#requests + 1] = wrk.format("POST", nil, headers, body)
   end
   if pause > 0 then
      delay = function() return math.random(0, 2 * pause) end
   end
end

function request()
   next_one = next_one % #requests + 1
   return requests[next_one]
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format('{"answers": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d}', summary.requests,
      summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
