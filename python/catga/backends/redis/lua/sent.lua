-- A: {scope, part, epoch, entries, ...}; the parts that were taken over.
local CHUNK = 1000
local lost = {}
for n = 1, #A, 4 do
  local part, entries = A[n + 1], A[n + 3]
  if not holds(A[n], part, A[n + 2]) then
    lost[#lost + 1] = part
  else
    for first = 1, #entries, CHUNK do
      call('XDEL', P .. 'outbox:' .. part, unpack(entries, first, math.min(first + CHUNK - 1, #entries)))
    end
  end
end
return lost
