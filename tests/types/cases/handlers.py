"""A handler whose reply or message is not that of its class is wrong in both checkers."""

from catga import Batch, Catga, Command, Context, Err, Event, Ok, Query, Result, Router, Transaction


class Place(Command[Result[str, int]]):
    customer: str


class Add(Command[int]):
    a: int


class Close(Command):
    order: str


class Stock(Query[int]):
    sku: str


class Placed(Event):
    order: str


app = Catga("types")
router = Router()


@app.handler(Place)
async def place(cmd: Place, ctx: Context, tx: Transaction) -> Result[str, int]:
    return Ok("1") if cmd.customer else Err(1)


@app.handler(Add, id="add")
async def add(cmd: Add) -> int:
    return cmd.a


@app.handler(Close)
async def close(cmd: Close) -> None: ...


@router.handler(Stock)
async def stock(query: Stock) -> int:
    return 1


@app.handler(Placed, concurrent=True)
async def placed(event: Placed, ctx: Context) -> None: ...


@app.handler(Placed, batch=Batch(size=10))
async def all_placed(events: list[Placed], tx: Transaction) -> None: ...


@app.handler(Add, batch=Batch(size=10))
async def all_added(commands: list[Add]) -> None: ...


@app.handler(Add)  # error
async def wrong_reply(cmd: Add) -> str:
    return str(cmd.a)


@app.handler(Place)  # error
async def wrong_error(cmd: Place) -> Result[str, str]:
    return Ok("1")


@app.handler(Placed)  # error
async def wrong_message(event: Add) -> None: ...


@app.handler(Placed, batch=Batch())  # error
async def one_of_a_list(event: Placed) -> None: ...


@app.handler(Stock)  # error
def not_async(query: Stock) -> int:
    return 1
