/** @file A model repository of the Hugging Face hub behind a `fetch`, for tests: info, file tree, byte ranges. */

export interface FakeHub {
  url: string;
  commit: string;
  fetch: typeof fetch;
  /** Bytes of file contents handed out. */
  bytesSent: number;
}

/** A hub with one repository. */
export function fakeHub(id: string, contents: Record<string, string>): FakeHub {
  const url = 'http://hub.test';
  const commit = 'c0ffee'.padEnd(40, '0');
  const bytesOf = (path: string): Uint8Array | undefined =>
    path in contents ? new TextEncoder().encode(contents[path]) : undefined;
  const hub: FakeHub = { url, commit, bytesSent: 0, fetch: async (input, init) => answer(input, init) };
  const answer = (input: RequestInfo | URL, init?: RequestInit): Response => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    const path = decodeURIComponent(pathname);
    if (path.startsWith(`/api/models/${id}/tree/`))
      return Response.json(
        Object.keys(contents).map((name) => ({
          type: 'file',
          path: name,
          size: bytesOf(name)!.length,
          oid: name,
        })),
      );
    if (path.startsWith(`/api/models/${id}`))
      return Response.json({ _id: '1', id, modelId: id, sha: commit });
    const bytes = bytesOf(path.replace(`/${id}/resolve/${commit}/`, ''));
    if (!bytes) return new Response('', { status: 404, headers: { 'X-Error-Code': 'EntryNotFound' } });
    const range = /bytes=(\d+)-(\d*)/.exec(new Headers(init?.headers).get('range') ?? '');
    const start = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
    hub.bytesSent += end - start;
    return new Response(bytes.slice(start, end), {
      status: range ? 206 : 200,
      headers: { ETag: `"${path}"`, 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` },
    });
  };
  return hub;
}
