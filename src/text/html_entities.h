// Named character references of HTML 5.
#pragma once

#include <string>
#include <string_view>

namespace loraptor::text {

/// Returns what `&name;` stands for (one or two letters), empty if nothing does. Names in capital letters count too
/// where only the small form is defined (`EACUTE`). Source: ftfy 6.3 chardata.py:_build_html_entities; the HTML
/// standard, "Named character references".
std::u32string html_entity(std::string_view name);

}  // namespace loraptor::text
