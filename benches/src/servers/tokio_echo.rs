//! The plain tokio echo, as a tutorial shows it: a task for each stream, a 4 KiB buffer, `read`
//! and `write_all`; for datagrams `recv_from` and `send_to`. A measure of what Polyport must
//! beat by more than its own weight, not an example to follow.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};

use crate::cli::ServeOptions;

const BUFFER_BYTES: usize = 4 * 1024;
const DATAGRAM_BYTES: usize = 64 * 1024;

/// Serves until it is killed.
pub(crate) fn serve(options: &ServeOptions) -> Result<()> {
    runtime(options.workers)?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let socket = udp_socket(options.port)?;
        tokio::try_join!(accept(listener), echo_datagrams(socket)).map(|_| ())
    })
}

fn runtime(workers: u16) -> Result<Runtime> {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(usize::from(workers)).enable_all();
    builder.build().context("cannot start the runtime")
}

async fn accept(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the tutorial's form is what is measured"
        )]
        tokio::spawn(async move {
            // A stream that fails is over, as is one that ends; nobody waits for it.
            echo_stream(stream).await.unwrap_or_default();
        });
    }
}

async fn echo_stream(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        stream
            .write_all(buffer.get(..length).unwrap_or_default())
            .await?;
    }
}

/// The same receive buffer as the other servers, so that none of them loses what others keep.
fn udp_socket(port: u16) -> Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(socket)?)
}

async fn echo_datagrams(socket: UdpSocket) -> Result<()> {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        socket
            .send_to(buffer.get(..length).unwrap_or_default(), peer)
            .await?;
    }
}
