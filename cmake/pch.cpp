// The only translation unit of the precompiled header (cmake/Loraptor.cmake).
