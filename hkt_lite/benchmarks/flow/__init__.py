"""Optical flow: Sintel and KITTI, RAFT and smaller RAFTs."""
