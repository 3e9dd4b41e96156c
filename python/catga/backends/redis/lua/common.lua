-- Every key begins with the tag in KEYS[1], so that all of them are in one slot. ARGV[1] holds the arguments in msgpack; bytes,
-- which the server's msgpack does not know, are words behind it, and stand in the arguments as their numbers.
local P = KEYS[1] .. ':'
local A = cmsgpack.unpack(ARGV[1])
local call = redis.call

local function holds(scope, part, epoch)
  return tonumber(call('HGET', P .. 'epochs:' .. scope, part) or 0) == epoch
end

local function now_us()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

local function whole(number)
  return string.format('%.0f', number)
end
