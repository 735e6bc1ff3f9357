mod rooms;

fn main(){}
