//! What stands at the other end of a port on a stream socket: it writes and reads frames as
//! QEMU's `-netdev stream` does.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use uswitch_tests::exchange::PATIENCE;

/// A client of a listening socket.
pub struct Station(pub UnixStream);

impl Station {
    /// Connects.
    pub fn new(path: &Path) -> Station {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Station(socket)
    }

    /// Sends a frame, when there is room.
    pub fn put(&mut self, frame: &[u8]) {
        let length = (frame.len() as u32).to_be_bytes();
        self.0.write_all(&[&length[..], frame].concat()).unwrap();
    }

    /// Waits for the next frame.
    pub fn take(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("a frame comes in time");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame).expect("a frame comes whole");
        frame
    }

    /// Waits for the end of the connection.
    pub fn end(&mut self) {
        assert_eq!(self.0.read(&mut [0]).expect("the end comes in time"), 0);
    }
}
