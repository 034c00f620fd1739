"""Tests over real sockets: our processes against real servers, and the broker's client against our simulator."""
