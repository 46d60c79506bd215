/* The playground of a server. */

import { fetchModels, generate, read } from "./api.js";
import { start } from "./playground.js";

start({ fetchModels, generate, read });
