-- A: {day}: marks of days before it are dropped; freeing them takes the server's time elsewhere.
local last = '(' .. whole(A[1])
for _, name in ipairs(call('ZRANGEBYSCORE', P .. 'days', '-inf', last)) do
  call('UNLINK', P .. 'marks:' .. name)
end
call('ZREMRANGEBYSCORE', P .. 'days', '-inf', last)
return 0
