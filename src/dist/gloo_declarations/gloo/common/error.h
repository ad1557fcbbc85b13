// A header of Gloo as far as it is needed: see declarations.h.
#pragma once

#include <gloo/declarations.h>
