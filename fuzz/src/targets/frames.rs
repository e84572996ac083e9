pub fn run(bytes: &[u8]) {
    elpis::worker::read_frames(bytes);
}
