// Runs before Plotly. Its bundle inserts style elements for maps, which the content security policy would block with an
// error. No map is drawn here: the styles become template elements, which have no effect.

const create = document.createElement.bind(document);
document.createElement = (name, ...options) => create(name === "style" ? "template" : name, ...options);
