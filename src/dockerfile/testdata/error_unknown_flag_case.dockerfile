FROM --Platform=x a
