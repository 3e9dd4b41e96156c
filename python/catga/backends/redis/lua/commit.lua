-- A: {bundles, keep}; each bundle is written as a whole or not at all. 0: written, 1: a duplicate, 2: superseded.
local CHUNK = 1000
local numbers = {}
local us = now_us()

-- marks: {day, handler, first, last}: words that are an id and a value in turn
local function marked(marks)
  local ids = {}
  for n = marks[3], marks[4], 2 do
    ids[#ids + 1] = ARGV[n]
  end
  for first = 1, #ids, CHUNK do
    local found = call('HMGET', P .. 'marks:' .. marks[1] .. ':' .. marks[2], unpack(ids, first, math.min(first + CHUNK - 1, #ids)))
    for n = 1, #found do
      if found[n] then
        return true
      end
    end
  end
  return false
end

local function mark(marks)
  local name = marks[1] .. ':' .. marks[2]
  for first = marks[3], marks[4], CHUNK do
    call('HSET', P .. 'marks:' .. name, unpack(ARGV, first, math.min(first + CHUNK - 1, marks[4])))
  end
  call('ZADD', P .. 'days', marks[1], name)
end

-- Numbers never come again, not even where the last ones were lost with the server: they are ahead of its clock at least.
local function number_of(channel)
  local last = numbers[channel]
  if not last then
    last = tonumber(call('GET', P .. 'number:' .. channel) or 0)
    if last == 0 then
      call('SADD', P .. 'channels', channel)
    end
  end
  numbers[channel] = math.max(last + 1, us)
  return whole(numbers[channel])
end

local function publish(channel, urgent, part, size, pack, keep)
  local key = P .. (urgent == 1 and 'urgent:' or 'queue:') .. part .. ':' .. channel
  if call('EXISTS', P .. 'readers:' .. channel) == 1 then
    call('XADD', key, number_of(channel), size, pack)
  else
    -- Nobody has ever read it: nobody says how far it has been read.
    call('XADD', key, 'MINID', '~', whole(us - keep), number_of(channel), size, pack)
  end
end

local function apply(bundle, keep)
  local leases, fresh, replaced, unpark, park, outgoing, packs, twice = unpack(bundle)
  for n = 1, #leases, 3 do
    if not holds(leases[n], leases[n + 1], leases[n + 2]) then
      return 2
    end
  end
  if twice then
    return 1
  end
  for _, marks in ipairs(fresh) do
    if marked(marks) then
      return 1
    end
  end
  for n = 1, #unpark, 2 do
    if call('HEXISTS', P .. 'places', name_of(unpark[n], ARGV[unpark[n + 1]])) == 0 then
      return 1
    end
  end
  for n = 1, #unpark, 2 do
    take(name_of(unpark[n], ARGV[unpark[n + 1]]))
  end
  for _, marks in ipairs(fresh) do
    mark(marks)
  end
  for _, marks in ipairs(replaced) do
    mark(marks)
  end
  for n = 1, #park, 4 do
    local place = park[n + 2]
    place[4] = ARGV[place[4]]
    put(name_of(park[n], ARGV[park[n + 1]]), place, ARGV[park[n + 3]])
  end
  for n = 1, #outgoing, 2 do
    call('XADD', P .. 'outbox:' .. outgoing[n], '*', '', ARGV[outgoing[n + 1]])
  end
  for n = 1, #packs, 5 do
    publish(packs[n], packs[n + 1], packs[n + 2], packs[n + 3], ARGV[packs[n + 4]], keep)
  end
  return 0
end

local fates = {}
for n, bundle in ipairs(A[1]) do
  fates[n] = apply(bundle, A[2])
end
for channel, number in pairs(numbers) do
  call('SET', P .. 'number:' .. channel, whole(number))
end
return fates
