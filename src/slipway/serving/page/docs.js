// Swagger UI over the OpenAPI document. Where a proxy strips a prefix, only the browser knows it: requests go there, too.
const api = await (await fetch("openapi.json")).json();
document.title = `${api.info.title}: API`;
api.servers ??= [{ url: new URL(".", location.href).pathname.replace(/\/$/, "") || "/" }];
SwaggerUIBundle({ spec: api, dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true });
