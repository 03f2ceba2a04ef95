"""An independent WebRTC stack as publisher and as player: aiortc.

Usage: aiortc_client.py publish|play URL SECONDS

`publish` sends a synthetic picture and tone by WHIP until it is killed or SECONDS are over; `play`
receives by WHEP and ends as soon as it has decoded 25 pictures and 50 frames of sound.
"""

import asyncio
import fractions
import sys

import aiohttp
import av
from aiortc import AudioStreamTrack, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack


class Picture(VideoStreamTrack):
    """A picture that changes."""

    async def recv(self):
        pts, base = await self.next_timestamp()
        frame = av.VideoFrame(width=320, height=240, format="yuv420p")
        for index, plane in enumerate(frame.planes):
            plane.update(bytes([(pts // 3000 * (index + 3)) % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, base
        return frame


async def negotiate(pc, url):
    await pc.setLocalDescription(await pc.createOffer())
    async with aiohttp.ClientSession() as session:
        headers = {"content-type": "application/sdp"}
        async with session.post(url, data=pc.localDescription.sdp, headers=headers) as response:
            assert response.status == 201, await response.text()
            assert response.headers["location"].startswith("/whe") or "whip" in response.headers["location"]
            answer = await response.text()
    await pc.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))


async def publish(url, seconds):
    pc = RTCPeerConnection()
    pc.addTrack(AudioStreamTrack())
    pc.addTrack(Picture())
    await negotiate(pc, url)
    print("publishing", flush=True)
    await asyncio.sleep(seconds)
    await pc.close()


async def play(url, seconds):
    pc = RTCPeerConnection()
    pc.addTransceiver("audio", direction="recvonly")
    pc.addTransceiver("video", direction="recvonly")
    decoded = {"audio": 0, "video": 0}
    wanted = {"audio": 50, "video": 25}
    done = asyncio.Event()

    async def consume(track):
        while True:
            frame = await track.recv()
            decoded[track.kind] += 1
            if track.kind == "video":
                assert (frame.width, frame.height) in [(320, 240), (640, 480)], frame
            if all(decoded[kind] >= wanted[kind] for kind in wanted):
                done.set()

    tasks = []
    pc.on("track", lambda track: tasks.append(asyncio.ensure_future(consume(track))))
    await negotiate(pc, url)
    try:
        await asyncio.wait_for(done.wait(), seconds)
    finally:
        print("decoded", decoded["audio"], decoded["video"], flush=True)
        for task in tasks:
            task.cancel()
        await pc.close()


if __name__ == "__main__":
    mode, url, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    asyncio.run({"publish": publish, "play": play}[mode](url, seconds))
