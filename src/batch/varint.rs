//! Protobuf's zig-zag varints as Kafka reads them (`ByteUtils`): at most five bytes for 32 bits, ten for 64,
//! a set top bit in the last one is an error, and a number need not be written in as few bytes as possible.
