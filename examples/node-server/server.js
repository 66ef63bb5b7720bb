// Any language will do: a server without dependencies that answers each instance, a text, with its length in words.
const http = require("node:http");

const { AIP_HTTP_PORT = "8080", AIP_HEALTH_ROUTE = "/health", AIP_PREDICT_ROUTE = "/predict" } = process.env;

function answer(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function predict(text) {
  let instances;
  try {
    ({ instances } = JSON.parse(text));
  } catch {}
  if (!Array.isArray(instances) || !instances.length || !instances.every((one) => typeof one === "string")) {
    return [400, { error: 'the body must be {"instances": ["some text", ...]}' }];
  }
  return [200, { predictions: instances.map((one) => one.split(/\s+/).filter(Boolean).length) }];
}

const server = http.createServer(async (request, response) => {
  const route = `${request.method} ${request.url.split("?")[0]}`;
  if (route === `GET ${AIP_HEALTH_ROUTE}`) return answer(response, 200, { status: "ok" });
  if (route !== `POST ${AIP_PREDICT_ROUTE}`) return answer(response, 404, { error: `nothing at ${route}` });
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  answer(response, ...predict(Buffer.concat(chunks).toString()));
});
server.listen(Number(AIP_HTTP_PORT), "0.0.0.0", () => console.log(`listening on ${AIP_HTTP_PORT}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
