//! echo.rs - RFC 862 over TCP, UDP and Unix sockets: `cargo build -p polyport-sdk --example echo`.

use polyport_sdk::prelude::*;

struct Echo;

impl Handler for Echo {
    const ID: &'static CStr = c"echo";
    const SUMMARY: &'static CStr = c"sends back what it gets";
    type Config = NoConfig;

    fn create(_: &mut Instance<'_>, _: NoConfig) -> Result<Self> {
        Ok(Self)
    }
}

impl StreamHandler for Echo {
    type State = ();

    fn open(&self, _: &mut Stream<'_>, _: &StreamInfo<'_>) -> Result<()> {
        Ok(())
    }
    fn on_data(&self, (): &mut (), stream: &mut Stream<'_>, input: Input<'_>) -> Result<Used> {
        stream.echo(input)?;
        Ok(input.all())
    }
}

impl SocketHandler for Echo {
    type State = ();

    fn open(&self, _: &mut Socket<'_>, _: &SocketInfo<'_>) -> Result<()> {
        Ok(())
    }
    fn on_datagrams(&self, (): &mut (), socket: &mut Socket<'_>, batch: Batch<'_>) -> Result<()> {
        socket.reply_each(batch, |it| Some(it.bytes())).map(drop)
    }
}

export_plugin! { id: "org.polyport.example.echo-rs", handlers: [Echo] }
