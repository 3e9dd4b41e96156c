-- What holders say of their parts. A: {what, ...}
local what = A[1]

local function holder(scope, part)
  local packed = call('HGET', P .. 'holders:' .. scope, part)
  return packed and cmsgpack.unpack(packed) or {'', 0, 0, '', 0}
end

local function keep(scope, part, held)
  call('HSET', P .. 'holders:' .. scope, part, cmsgpack.pack(held))
end

if what == 'release' then
  local _, scope, owner, leases, leave = unpack(A)
  for n = 1, #leases, 2 do
    local part = leases[n]
    if holds(scope, part, leases[n + 1]) and holder(scope, part)[1] == owner then
      keep(scope, part, {'', 0, 0, '', 0})
    end
  end
  if leave then
    call('ZREM', P .. 'members:' .. scope, owner)
  end
elseif what == 'clear' then
  local leases = A[2]
  for n = 1, #leases, 3 do
    local scope, part = leases[n], leases[n + 1]
    if holds(scope, part, leases[n + 2]) then
      local held = holder(scope, part)
      keep(scope, part, {held[1], held[2], 0, '', 0})
    end
  end
elseif what == 'alone' then
  local _, scope, part, epoch, token = unpack(A)
  local held = holder(scope, part)
  local before = held[4] == token and held[5] or 0
  if holds(scope, part, epoch) then
    held[4], held[5] = token, before + 1
    keep(scope, part, held)
  end
  return before
elseif what == 'advance' then
  local _, owner, positions = unpack(A)
  for n = 1, #positions, 4 do
    local scope, part = positions[n], positions[n + 1]
    if holds(scope, part, positions[n + 2]) and holder(scope, part)[1] == owner then
      call('HSET', P .. 'positions:' .. scope, part, positions[n + 3])
    end
  end
end
return 0
