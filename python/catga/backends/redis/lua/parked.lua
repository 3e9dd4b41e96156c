-- A parked row is its frame and all (rows), what its indexes are made of (places), and a member of the indexes it belongs to.
local RETRY, BLOCKED, SCHEDULED, DEAD = 1, 2, 3, 4

local function name_of(handler, id)
  return handler .. '\0' .. id
end

-- place: {channel, part, keyed, key, state, due, order}
local function indexes(name, place)
  local channel, part, keyed, key, state, due, order = unpack(place)
  local handler = string.match(name, '^([^%z]*)%z')
  local found = {}
  if state == RETRY or state == SCHEDULED then
    -- Of those due in one millisecond the older ones come first.
    local member = string.format('%016.0f', order) .. name
    found[#found + 1] = {P .. 'due:' .. part .. ':' .. channel, due, member}
    found[#found + 1] = {P .. 'timed:' .. state, due, member}
  elseif state == DEAD then
    found[#found + 1] = {P .. 'dead', order, name}
    found[#found + 1] = {P .. 'dead:' .. handler, order, name}
  end
  local blocking = state == DEAD and due < 0
  local chain
  if keyed == 1 and (state ~= DEAD or blocking) then
    chain = cmsgpack.pack({channel, part, handler, key})
    found[#found + 1] = {P .. 'chain:' .. chain, order, name}
    if state ~= SCHEDULED then
      found[#found + 1] = {P .. 'waiting:' .. part .. ':' .. channel, order, name}
    end
  end
  return found, chain, blocking, state == BLOCKED
end

local function count(key, field, by)
  if call('HINCRBY', key, field, by) == 0 then
    call('HDEL', key, field)
  end
end

local function take(name)
  local packed = call('HGET', P .. 'places', name)
  if not packed then
    return
  end
  local found, chain, blocking, blocked = indexes(name, cmsgpack.unpack(packed))
  for _, index in ipairs(found) do
    call('ZREM', index[1], index[3])
  end
  if blocking and chain then
    count(P .. 'blocking', chain, -1)
  end
  if blocked then
    count(P .. 'blocked', chain or '', -1)
  end
  call('HDEL', P .. 'places', name)
  call('HDEL', P .. 'rows', name)
end

local function put(name, place, row)
  take(name)
  local last = tonumber(call('GET', P .. 'order') or 0)
  if place[7] == 0 then
    place[7] = last + 1
  end
  if place[7] > last then
    call('SET', P .. 'order', whole(place[7]))
  end
  local found, chain, blocking, blocked = indexes(name, place)
  for _, index in ipairs(found) do
    call('ZADD', index[1], whole(index[2]), index[3])
  end
  if blocking and chain then
    count(P .. 'blocking', chain, 1)
  end
  if blocked then
    count(P .. 'blocked', chain or '', 1)
  end
  call('HSET', P .. 'places', name, cmsgpack.pack(place))
  call('HSET', P .. 'rows', name, row)
end

-- name, order, row of each
local function rows_of(names)
  local found = {}
  for _, name in ipairs(names) do
    local place = cmsgpack.unpack(call('HGET', P .. 'places', name))
    found[#found + 1] = name
    found[#found + 1] = place[7]
    found[#found + 1] = call('HGET', P .. 'rows', name)
  end
  return found
end
