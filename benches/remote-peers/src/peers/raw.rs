//! One TCP connection: a byte says what follows, whose length is known.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::serving::until_end;
use crate::{
    failure::Failure,
    shapes::{Client, LARGE, SMALL},
};

/// Bytes that are read or written at once.
const BUFFER: usize = 64 << 10;

const ASK: u8 = 0;
const TELL: u8 = 1;
const COUNT: u8 = 2;

pub(super) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    until_end(&address).await
}

async fn answer(stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let (mut small, mut large) = ([0; SMALL], [0; LARGE]);
    let mut count: u64 = 0;
    loop {
        match reader.read_u8().await? {
            ASK => {
                reader.read_exact(&mut small).await?;
                writer.write_all(&small).await?;
            }
            TELL => {
                reader.read_exact(&mut large).await?;
                count += 1;
            }
            _ => writer.write_all(&count.to_le_bytes()).await?,
        }
    }
}

pub(super) struct Socket {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
}

impl Socket {
    pub(super) async fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: BufReader::with_capacity(BUFFER, reader),
            writer: BufWriter::with_capacity(BUFFER, writer),
        })
    }
}

impl Client for Socket {
    async fn ask(&mut self) -> Result<(), Failure> {
        self.writer.write_u8(ASK).await?;
        self.writer.write_all(&[1; SMALL]).await?;
        self.writer.flush().await?;
        let mut answer = [0; SMALL];
        self.reader.read_exact(&mut answer).await?;
        Ok(())
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        self.writer.write_u8(TELL).await?;
        Ok(self.writer.write_all(&[1; LARGE]).await?)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush().await?)
    }

    async fn arrived(&mut self) -> Result<u64, Failure> {
        self.writer.write_u8(COUNT).await?;
        self.writer.flush().await?;
        Ok(self.reader.read_u64_le().await?)
    }
}
