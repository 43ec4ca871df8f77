// Keeps the files of this page, so that a second visit needs no network. The page says which they are, and when they are others.

const PREFIX = `bench ${self.registration.scope} `;

const ours = async () => (await caches.keys()).filter((name) => name.startsWith(PREFIX));

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  const { version, files } = event.data;
  event.waitUntil((async () => {
    const name = PREFIX + version;
    for (const other of await ours()) if (other !== name) await caches.delete(other);
    const cache = await caches.open(name);
    await Promise.all(files.map(async (file) => (await cache.match(file)) || cache.add(file)));
    event.source?.postMessage("kept");
  })());
});

// A large file has its checksum in its address and is read from what is kept; the others only where there is no network.
self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || address.origin !== self.location.origin) return;
  const pinned = address.searchParams.has("sha256");
  event.respondWith((async () => {
    const held = async () => {
      for (const name of await ours()) {
        const found = await (await caches.open(name)).match(event.request, { ignoreSearch: !pinned });
        if (found) return found;
      }
      return null;
    };
    if (pinned) return (await held()) || fetch(event.request);
    try {
      return await fetch(event.request);
    } catch (error) {
      const found = await held();
      if (found) return found;
      throw error;
    }
  })());
});
